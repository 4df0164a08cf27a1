"""Prompt families of finding things: short lookups, navigation, extraction."""

from __future__ import annotations

from pointsman.sample_week.family import Family

SHORT_FACTUAL_LOOKUP = Family(
    templates="""
what is the {aspect} [of|for] the {product}
what's the {aspect} of a {product}[?|]
{product} {aspect}
{aspect} {product}
{aspect} of the {product} in {region}
how [long|much|many days] is the {aspect} for [a|the] {product}[?|]
does the {product} [come with|include|have] a {aspect}[?|]
when [does|did] {region} [start|stop] selling the {product}[?|]
when is the next [public holiday|meter reading|delivery day] in {region}[?|]
who [wrote|designed|makes|invented] the [first|original] {product}[?|]
who wrote the poem on the back of the {product}[?|]
how many [lines|words|syllables] does a [haiku|sonnet|summary] have[?|]
what does error code {n}0{n} mean on the {product}[?|]
is {topic} [different|the same] in {region}[?|]
[quick question:|quick one,|] [how many|how much] {product}s per household[?|]
[is|are] {topic} [really|still|officially] [a thing|regulated|allowed] in {region}[?|]
what [year|month] did the {product} [launch|come out|get recalled][?|]
difference between {product} and {product} in {aspect}
[maximum|minimum] {aspect} {product} {year}
opening hours {region} [branch|shop|desk]
[what time|until when] is the [shop|desk|library|pool] in {region} open on {date}[?|]
postcode of {region}
which [file type|image format|language] does the {product} [use|accept][?|]
how tall is the lighthouse at {region}
capital letter rule after a colon, [yes or no|which is it]
who signs the code of conduct
meaning of "{topic}"
[tell me|remind me of] the {aspect} of the {product}
[can you confirm|pls confirm] the {aspect} of the {product} is {money}
population of {region} in {year}
do I need a [deposit|code|photo|form] for the {product}[?|]
how much is {money} in [euros|dollars|pounds] [today|roughly]
how big can an image be for the {page}[?|]
what's the [fee|penalty] if I return a {product} after {n}{n} days
the {product} - [since when|from what age|how heavy|how loud][?|]
when does the refund for {order} [arrive|come][?|]
where is {order}
why is the {product} [making a whistling noise|blinking][?|]
list of {field} for {region}
[names|dates] of the {product} models since {year}
what is this {product} [called|for][?|]
one sentence on {topic}
how does {topic} work
who wrote "{thing}"
""",
    demands="""
, and is that still true after the {month} change
, also the {aspect} for {persona} in {region}
, taking into account the {aspect}
, if the contract began before {year} and was moved from {region}
, excluding VAT but including the {aspect}
, when both the {product} and the {product} are on one bill
 - and why does that differ from the {aspect}
, with the exact clause it rests on
""",
    foreign="""
¿cuánto cuesta {es_cosa} en {region}?
¿hasta cuándo vale {es_cosa}?
cuál es el plazo para {es_cosa}
precio {product} {region}
wie hoch ist die Gebühr für {de_ding}[?|]
wie lange gilt {de_ding}[?|]
was bedeutet Fehlercode {n}0{n}
quel est le prix [du|pour le] {product} [?|]
combien de temps dure {fr_chose} ?
jusqu'à quelle heure c'est ouvert à {region}
quanto custa {pt_coisa}[?|]
qual é o prazo para {pt_coisa}[?|]
{product}的价格是多少?
{product} 営業時間は?
""",
)

NAVIGATION = Family(
    templates="""
[take me to|go to|open|show me|bring up|jump to] the {page}
[take me to|go to|open|show me] {page}
where [is|do I find|can I find] the {page}[?|]
{page}
{page} [link|url|login|page]
[link|url|shortcut] [to|for] the {page}
{app} > {page}
I [can't|cannot|can not] find the {page}[ any more| since the redesign|]
how do I get to the {page}[?|]
which menu has the {page}[?|]
[log in|sign in|login] to {app}
back to the {page}[ please|]
[need|want|looking for] the {page}
the page where I [write a complaint|upload an image|enter a code|see my summary|rewrite my address]
where did you [hide|put|move] the {page}[?|]
the [tab|button|form] for {product} [returns|orders|invoices|photos]
where to [upload|download|print|cancel|rename] [my {product} invoice|the {product} form|an image|a document]
{product} [order page|product page|manual download|support page]
is there a page [about|on|for] {topic}[?|]
I'm on the {page} and need to get to the {page}
get me to where I can [change my address|delete a picture|export everything|report an error|download the code]
[list|show] [my|all] [orders|invoices|open complaints|images|drafts]
which section [lists|has|covers] the {product}[?|]
[contact|help|support] page for {region}
[direct link|deep link] to {page}, [not the home page|the new one|mobile version]
can't see the {page} in {app}
settings where the [language|voice|picture|password] is [changed|set]
find the {page} for me
account > [settings|billing|orders] > ?
[home|start] page of {region} branch
where would I click to [file a complaint|ask for code review access|submit a poem][?|]
{product} manual
{product} [complaint|refund]
{product} in {region}
my {picture}s
the {doc_kind} on {topic}
[code|poem|image|summary] [page|section|tab] {region}
""",
    demands="""
, not the old one, the one for {persona} in {region}
, the version from before {month} {year}
, but from {app} and without signing in again
, filtered by {aspect} and {region}
, for the second contract on my account
 and from there to the {page}
, in case my role does not see it, tell who can open it
""",
    foreign="""
¿dónde está {es_cosa} en la web?
[abrir|ver] {es_cosa}
llévame a {es_cosa}
dónde [encuentro|descargo] {es_cosa}
wo finde ich {de_ding}[?|]
zeig mir {de_ding}
[Seite|Link] für {de_ding}
wo kann ich {de_ding} [herunterladen|ändern][?|]
où [trouver|est] {fr_chose} sur le site
ouvrir {fr_chose}
lien vers {fr_chose}
onde [encontro|fica] {pt_coisa} no site
abrir {pt_coisa}
{page} はどこ?
打开 {page}
""",
)

EXTRACTION = Family(
    templates="""
[extract|pull|get|fish] [the|all] {field} [out of|from] this: {+mail}
[list|give me] [only|just] the {field}: {+passage}
which {field} are [mentioned|named|in here][?|]\\n{+thread}
{field} [as a list|as JSON|one per line] please: {+passage}
{+mail}\\n[need the|only] {field} [from that|from this mail|out of it]
find every one of the {field} in the [log|mail|text] below\\n{+log}
turn this into a table with {field} and {field}: {+passage}
{+table}\\nreturn the {field}[, nothing else|]
from the following I need {field} and {field}: {+passage}
parse this and [output|return] {field}: {+table}
what {field} do you see [here|in this text][?|] {+passage}
pick out the {field}\\n{+passage}
convert to CSV, columns {field}; {field}: {+passage}
copy the {field} [out of|from] this {doc_kind}: {+doc}
fill in: {field} = ?, {field} = ? from "{+passage}"
I only need the {field} in this, no summary: {+mail}
grab {field} [+|and] {field}: {+log}
who is [named|mentioned] in this and with which {field}: {+passage}
[key|the] fields of this invoice as JSON {+table}
{field}?\\n\\n{+mail}
tag each line with its {field}\\n{+table}
how many {field} appear in this, list them: {+passage}
list of {field}: {+passage}
main points with {field}: {+doc}
go through this {doc_kind} and list the {field}: {+doc}
what did they agree on, just {field}: {+thread}
""",
    demands="""
, with duplicates merged and the source line of each
, leave a field empty where it is not stated, never guess
, dates as ISO 8601 in UTC, amounts in euros
, nested by {persona} and then by {region}
, and mark those that contradict each other
, following this schema: id, kind, value, span
, including the ones that are only implied
""",
    foreign="""
saca [las fechas|los importes|los correos] de este texto: {+passage}
extrae los números de pedido: {+mail}
lista solo [los nombres|las fechas]: {+passage}
[zieh|hol] die [Beträge|Daten|Bestellnummern] hier raus: {+passage}
welche [Termine|Adressen] stehen in dieser Mail? {+mail}
donne-moi seulement [les dates|les montants]: {+passage}
extrais les adresses mail de ceci: {+mail}
tira [as datas|os valores] deste texto: {+passage}
找出所有日期: {+passage}
""",
)
