"""Vocabulary of the sample week: people, places, styles, tasks and sentences around the subjects."""

from __future__ import annotations

MANNERS: dict[str, str] = {
    "persona": """
a student
my landlord
our new intern
a small bakery
a school board
retired neighbours
the night shift
first-time buyers
a sceptical engineer
the finance team
my grandmother
a housing co-op
our volunteers
a visiting choir
a busy nurse
the works council
""",
    "region": """
Norvale
East Harbour
the lake district
Brimstad
the islands
Southmoor
the northern branch
Calder Bay
the old town
Ostermark
both valleys
the capital
""",
    "style": """
friendly
formal
plain
warm but firm
less stiff
more concise
cheerful
neutral
polite
sharper
like a press note
suitable for kids
diplomatic
less salesy
""",
    "length": """
two sentences
five bullets
{n} lines
a short paragraph
one slide
under {n}0 words
half a page
a tweet
three headings
""",
    "mood": """
tired
happy
bored
a bit nervous
oddly proud
hungry
wide awake
grateful
grumpy
sleepy
restless
""",
    "language": """
Python
Rust
Go
TypeScript
SQL
Bash
Java
C++
Kotlin
R
Ruby
""",
    "task_code": """
parses a CSV and drops duplicate rows
retries a request with a delay
sorts dates in mixed formats
counts words per line
reads a config file
renames files in a folder
validates an email address
splits a list into chunks
paginates an API
rounds money correctly
turns snake case into camel case
merges two dictionaries
""",
    "task_code_hard": """
detects deadlocks in a transaction log
streams a join over two sorted files larger than memory
implements an LRU cache that is safe under concurrent writers
solves a bounded knapsack with side constraints
migrates a sharded table without downtime
parses a small expression language with operator precedence
reconciles two event streams with late arrivals
rate-limits clients fairly across several nodes
incrementally recomputes a dependency graph with cycles
compiles a regular expression to a minimal automaton
""",
    "bug": """
an off-by-one
a None where a list should be
a wrong time zone
an import that fails
a missing index
an endless loop
a test that is red on CI only
a typo in the query
""",
    "bug_hard": """
a race between two workers
a memory leak after hours of traffic
a deadlock that shows once a week
rounding drift across thousands of invoices
stale reads behind the replica
a heisenbug that hides under the debugger
""",
    "feeling": """
I am really disappointed
this is ridiculous
I have had enough
not what I expected
please, I just want this solved
third time I write
I feel ignored
honestly I am close to leaving
it is not the end of the world but still
nobody answers
""",
    "field": """
order numbers
dates
email addresses
amounts
names of the attendees
serial numbers
deadlines
postcodes
invoice totals
phone numbers
action items
SKUs
currencies
error codes
file names
""",
    "field_hard": """
every obligation with its owner, deadline and condition
net and gross amounts per tax rate, reconciled with the total
all changes of date, with who proposed and who agreed
each serial number with the fault it belongs to, duplicates merged
""",
    "month": """
January
February
March
April
May
June
July
August
September
October
November
December
""",
    "clause_passage": """
The [meeting|delivery|review|repair] was moved to {date} because the {product} [was late|did not fit|needed parts]
Our [team|branch|supplier] in {region} expects {n}{n} units of the {product} before {date}
Please note that {topic} [is|remains] the [main|second] concern of {persona}
We would like to [thank|inform] {persona} about the new {page}
Order {order} [was|has been] [shipped|returned|invoiced] on {date} for {money}
[Nobody|Everyone] in {region} was happy with the {aspect} of the {product}
The {doc_kind} says that {topic} [costs|saves] about {percent} a year
It [seems|is clear] that the {aspect} [must|should] be [checked|agreed|published] by {month}
[Since|Until] {month} the {product} has been sold in {region} at {money}
The [committee|working group|branch office] [asked|will ask] {persona} to review {topic}
Contact: {mail}, reference {order}
[Further|Some] questions about {topic_hard} were left [open|for the next round]
""",
}
