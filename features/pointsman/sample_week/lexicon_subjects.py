"""Vocabulary of the sample week: the products, pages, topics and troubles its invented customers ask about."""

from __future__ import annotations

SUBJECTS: dict[str, str] = {
    "product": """
heat pump
solar tariff
prepaid card
smart thermostat
family plan
fibre router
e-bike lease
travel insurance
storage box
wall charger
water filter
garden sensor
standing desk
night rail pass
student account
gift voucher
baby monitor
espresso grinder
image scanner
code reader
poetry calendar
label printer
coffee subscription
loyalty card
rooftop battery
window blind
trail shoe
sleeping bag
hearing aid
tyre set
""",
    "page": """
refund policy
code of conduct
image gallery
order history
billing overview
privacy settings
summary dashboard
invoice archive
parking permit form
promo code page
complaint form
press releases
release notes
poem of the month
writing contest
developer docs
status page
size chart
store finder
two-factor setup
delivery tracker
photo upload
data export
team calendar
warranty registration
gift registry
careers section
accessibility statement
source code repository
translation glossary
document centre
terms of use
cookie settings
newsletter archive
meter reading form
tax summary
support chat
rewrite rules editor
""",
    "topic": """
battery life
return periods
postage
opening hours
voltage
recycling
daylight saving time
school holidays
train delays
sleep
composting
cold brew
bicycle lights
home insulation
house plants
tap water
password rules
public holidays
the moon
tides
sourdough
sunscreen
tea
noise
balcony gardens
late fees
queue times
haikus
image formats
zip codes
barcodes
file sizes
""",
    "topic_hard": """
heat loss through thermal bridges
grid balancing with prosumer storage
cross-border VAT on digital goods
liability for third-party firmware
churn under usage-based pricing
supply risk in rare-earth magnets
copyright of machine-written poems
bias in image moderation
technical debt in billing code
multi-tenant data residency
demand elasticity in peak pricing
lifecycle emissions of leased bikes
accrual accounting for gift cards
accessibility law for public kiosks
carbon border adjustments
deferred revenue on annual plans
secondary-market battery warranties
cold-chain logistics under heat waves
pension treatment of freelance work
water rights in shared catchments
""",
    "aspect": """
price
weight
warranty
colour
capacity
delivery time
power rating
minimum age
expiry date
maximum length
cancellation fee
return window
phone number
latest version
energy class
image resolution
error code
postal code
default language
deposit
summary length
word limit
""",
    "aspect_hard": """
pro-rated cancellation fee after a mid-term upgrade
effective yearly cost including standby losses
warranty remainder when the owner changes twice
tax treatment of a split delivery
conversion between gross and net calorific value
deadline if the notice arrives on a holiday
threshold at which the reduced rate stops applying
order in which credits, vouchers and refunds are consumed
""",
    "problem": """
arrived broken
never came
was charged twice
keeps rebooting
has the wrong colour
makes a whistling noise
stopped working after {n} days
is missing a screw
shows error code {n}0{n}
lost my settings
was cancelled without a word
came with someone else's invoice
cannot be returned, says your form
""",
    "problem_hard": """
was repaired twice, refunded once, billed again and is still broken
was replaced under warranty but the insurance now rejects the new serial number
fails only when the second device of the household joins, which three agents denied
was credited to a closed account while dunning goes on
was part of a bundle you split after the contract change in {month}
""",
    "depicted": """
my receipt
the broken hinge
a plant on my balcony
the meter
a road sign
the wiring
our floor plan
a rash on the leaf
this label
the error screen
a handwritten note
the parking ticket
a bird in the yard
two shoes
my whiteboard
the gauge
""",
    "thing": """
autumn rain
an old bicycle
the last tram
a stubborn kettle
our cat
the sea in winter
a broken compiler
a lost umbrella
my sister's wedding
the night shift
a paper lantern
the support queue
Monday morning
an empty inbox
a lighthouse
bread
moving house
the printer on floor {n}
""",
    "picture": """
photo
picture
image
screenshot
scan
snapshot
drawing
pic
chart
diagram
""",
    "doc_kind": """
report
meeting notes
contract
email thread
article
study
manual
release notes
minutes
policy paper
chapter
transcript
user guide
survey
incident review
""",
    "text_kind": """
email
paragraph
cover letter
product blurb
apology
sentence
job ad
reply
announcement
speech
bio
notice
headline
message
reminder
""",
    "app": """
the app
my account
the portal
your site
the member area
the shop
the web client
the kiosk
""",
    "pet": """
cat
dog
parrot
tortoise
goldfish
rabbit
""",
}
