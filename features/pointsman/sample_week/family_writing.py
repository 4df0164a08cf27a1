"""Prompt families of writing: rewriting, long summaries, poetry."""

from __future__ import annotations

from pointsman.sample_week.family import Family

REWRITING = Family(
    templates="""
[rewrite|rephrase|reword] this [in a {style} tone|to sound {style}]: {+passage}
make this [sound |]{style}: {+passage}
[can you|could you|pls] [polish|smooth|tidy up|fix] my {text_kind}: {+passage}
this {text_kind} is too long, same meaning in {length}: {+passage}
[fix|correct] the [grammar|spelling|commas] [here|in this]: {+passage}
say this [differently|better|in other words]: "{+passage}"
{+passage}\\n[make it|turn it] {style}
a {style} version of: {+passage}
I wrote this to {persona}, does it sound {style}? [change|improve] it: {+passage}
translate into plain [English|language]: {+passage}
[improve|proofread] this {text_kind} about {topic}: {+passage}
[too stiff|too wordy|too blunt], [help|loosen it]: {+passage}
put this [in the passive|in the past tense|in the first person]: {+passage}
same text but for {persona}: {+passage}
adapt the {text_kind} below for {persona}\\n{+mail}
my code review comment sounds rude, make it {style}: "{+passage}"
how would you phrase this [to|for] {persona}: {+passage}
shorten [the caption under the image|my image description]: {+passage}
here's my complaint [letter|mail], [make it|keep it] {style}: {+passage}
give me [two|three] alternatives for this {text_kind}: "{+passage}"
this line of my poem limps, reword it {style}: "{+passage}"
[swap|replace] the jargon [in|from] this: {+passage}
native speaker check: {+passage}
is this [correct|good] English? {+passage}
shorter: {+passage}
shorter, please: {+doc}
in {length}: {+passage}
this {doc_kind} reads badly: {+doc}
a reply to this in a {style} tone: {+mail}
a {style} {text_kind} for {persona} about {topic}
""",
    demands="""
, keep every number and do not touch the quoted parts
, at most {length}, and it must still name {persona}
, British spelling, no adverbs, no passive voice
, with the same reading level throughout
, such that both {persona} and {persona} can agree to it
, keep the rhythm of the original and the legal meaning
, in two versions, one {style} and one {style}
""",
    foreign="""
[reescribe|mejora] este texto, más [formal|cercano]: {+passage}
ponlo más corto: {+passage}
corrige [la ortografía|las comas]: {+passage}
formuliere das [freundlicher|kürzer|förmlicher]: {+passage}
klingt das gut? verbessere es: {+passage}
reformule ce texte de façon plus [polie|courte]: {+passage}
corrige les fautes: {+passage}
[reescreve|melhora] este texto: {+passage}
请润色这段文字: {+passage}
""",
)

SUMMARISE_LONG_DOC = Family(
    templates="""
[summarise|summarize|sum up] this {doc_kind}[ in {length}|]: {+doc}
tl;dr\\n{+doc}
[tldr|short version] of the [attached|linked] {doc_kind} [please|on {topic}|]
what are the [main|key] points of this {doc_kind}[?|] {+doc}
[boil|cut] this down to {length}: {+doc}
too long for me to read, what does it say: {+doc}
[executive summary|abstract|digest] of the {doc_kind} [on|about] {topic}
{+doc}\\n\\n[in short|the gist|in {length}][?|]
give me the gist of the [attached|uploaded] {n}{n}-page {doc_kind} about {topic}
I missed the meeting, what happened: {+thread}
what did they decide in the end? {+thread}
summary of the attached {doc_kind} for {persona}
[condense|compress] chapter {n} of the attached {doc_kind}
catch me up on this thread\\n{+thread}
what [should|must] I know before [the meeting|signing] from this {doc_kind}: {+doc}
[overview|recap] of the uploaded {doc_kind}: {topic}
go through the {doc_kind} and tell me [what matters|what changed|what's new]: {+doc}
key takeaways [from|of] the {doc_kind} I uploaded[, {length}|]
[the|this] whole {doc_kind} in {length}, no code, no images: {+doc}
read this so I don't have to: {+doc}
in {length}: {+passage}
shorter: {+doc}
{+doc}
the {doc_kind} on {topic}, in {length}
list what is in here: {+thread}
""",
    demands="""
, with a section per {persona} and page references
, separate facts from opinions and name open questions
, and list where it contradicts the {doc_kind} of {year}
, max {length}, but keep each number with its unit
, ordered by risk, with what follows for {region}
, trace how the position of {persona} changed from part to part
, include the footnotes on {topic}
""",
    foreign="""
[resume|resumen de] este documento: {+doc}
¿qué dice este informe en pocas líneas? {+doc}
puntos clave del informe adjunto sobre {es_tema}
[fasse|fass] das zusammen: {+doc}
Kurzfassung des angehängten Berichts über {de_thema}
résume ce [rapport|texte]: {+doc}
l'essentiel du document joint sur {fr_sujet}
resume este [relatório|documento]: {+doc}
总结一下这份文件: {+doc}
""",
)

POETRY = Family(
    templates="""
[write|compose|make] a [poem|haiku|limerick|sonnet|ballad] about {thing}
a [haiku|poem|rhyme|verse] [for|on|about] {thing}[, please|]
[something that rhymes|a few rhyming lines] for {persona} about {thing}
{thing}, as a [haiku|limerick|sonnet|nursery rhyme|song]
four lines on {thing}, [sad|funny|hopeful]
I need [verses|lyrics|a toast in rhyme] for [a wedding|a farewell|{persona}]
turn {thing} into [a song|verse|free verse]
[love|birthday|thank-you] poem for my {pet}
[continue|finish] this: "{thing} and I,"
ode to {thing}
can you be a poet for a minute? {thing}
[short|tiny] verse for a card: {thing}
lullaby about {thing}
[epitaph|ballad|shanty] for {thing}
rap [two|three|four] bars about {thing}
give me a stanza where {thing} meets {thing}
poem whose first letters spell {topic}
write me something beautiful about {thing}
a poem in code comments about {thing}
what would {thing} say if it could rhyme
say something nice about {thing}
{thing}, {thing}, {thing} ...
one sentence on {thing}, make it sing
a {style} {text_kind} in rhyme for {persona}
""",
    demands="""
 in strict iambic pentameter
, each line ending on the same vowel
, as an acrostic of "{product}"
, without the letter e
, in terza rima with a turn in the last tercet
, {n} stanzas, the last mirrors the first
, no cliché, no adjective, and it must mention {topic}
""",
    foreign="""
escribe un [poema|haiku] sobre {es_tema}
unos versos para mi abuela sobre {es_tema}
schreib ein [Gedicht|Haiku] über {de_thema}
ein paar Reime über {de_thema}
un petit poème sur {fr_sujet}
quatre vers sur {fr_sujet}
um poema sobre {pt_tema}
uns versos sobre {pt_tema} para o aniversário
写一首关于{thing}的诗
{thing}の俳句を作って
""",
)
