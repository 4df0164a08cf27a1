"""Prompt families of hard work: complex synthesis, code, questions about images."""

from __future__ import annotations

from pointsman.sample_week.family import Family

COMPLEX_SYNTHESIS = Family(
    templates="""
[compare|weigh] {topic} and {topic} for {persona}[: which one and why|, then recommend|]
how [would|will|does] {topic} [affect|change|shape] {topic} in {region}[?|]
[develop|draft|work out] a [strategy|plan|roadmap] for {topic} [given|considering] {topic}
why do {topic} and {topic} pull in different directions, and what [follows|should we do] for {persona}
what are the trade-offs between the {product} and the {product} for {persona}[?|]
[analyse|analyze] how {topic} interacts with {topic}
[bring together|combine|reconcile] what we know about {topic} with {topic}
make the case for and against {topic}, then decide
if {region} doubled the {aspect}, what would happen to {topic}[?|]
[evaluate|assess] {n} ways to handle {topic} [in|for] {region}
[explain|reason through] the causes behind {topic} in {region} and [rank|weigh] them
which [policy|contract|rollout] would you choose for {region} under {topic}[?|]
build a scenario for {topic} in {year} with [best|worst] case
write a [position|research] brief: {topic} versus {topic}
design a [study|survey|pilot] to find out whether {topic} causes {topic}
what does the evidence say on {topic} when {topic} is [held fixed|also changing][?|]
[second-order|long-term] effects of {topic} on {persona}
from these {n} sources, what should {persona} conclude on {topic}: {+doc}
our numbers disagree, find out why and propose what to do\\n{+table}
argue from the perspective of {persona} and of {persona} about {topic}, then find common ground
how does {topic} work [together with|against] {topic}
{topic} in {region}?
the difference between {product} and {product} for {persona}
a plan for {persona} about {topic}
""",
    demands="""
, under a budget of {money} and a deadline in {month}
, citing at least {n} independent sources and their weaknesses
, then stress-test it against {topic}
, step by step, with the assumptions made explicit
, for {region} first and then generalise to {region}
, quantify the uncertainty and say what would change your mind
, with a counter-argument by {persona} answered in full
, taking both the short and the long run into account
""",
    foreign="""
compara {es_tema} y {es_tema} y recomienda una estrategia
¿cómo afectaría {es_tema} a {es_tema} en {region}?
vergleiche {de_thema} und {de_thema} mit Vor- und Nachteilen
welche Folgen hätte {topic} langfristig für {region}
analyse l'effet de {fr_sujet} sur {fr_sujet}
compare deux stratégies pour {fr_sujet} et conclus
compara {pt_tema} com {pt_tema} e justifica
分析{topic}对{region}的长期影响
""",
)

CODE = Family(
    templates="""
[write|give me] a {language} [function|script|snippet] that {task_code}
{language}: {task_code}
how [do|would] I [write|do] this in {language}: it {task_code}[?|]
[why does|why is] this [fail|not work|crash]?\\n{+stack}
[fix|debug] [this|my {language}]: {+code}
I think I have {bug} [here|in this], [where|spot it]: {+code}
{+stack}\\n[what now|help|any idea][?|]
[refactor|simplify|clean up] this\\n{+code}
[unit tests|tests] for a {language} function that {task_code}
[port|translate|convert] this to {language}:\\n{+code}
regex that matches {field}
what does this query [do|return]: {+query}
make this faster {+query}
[explain|walk me through] this [snippet|method] line by line: {+code}
review my pull request, it {task_code}\\n{+code}
looking for {bug} in a {language} service, how do I find it
{language} one-liner that {task_code}
type hints for\\n{+code}
got {bug} after upgrading {language}, [what changed|how to fix]
[implement|build] something in {language} that {task_code}
my script that {task_code} [returns nothing|hangs|eats all memory], {language}
rewrite this loop without recursion\\n{+code}
summarise what this [class|module] does: {+code}
what does error code {n}0{n} mean in {language}
{+log}\\n[why|explain]
this does not work: {+query}
list of {field} from this in {language}: {+table}
the {product} shows {bug}
""",
    demands="""
, in O(n log n) and constant memory
, thread-safe, with no external dependencies
, with tests for the edge cases and property tests
, that also works on streams larger than memory
, keep the public interface and stay compatible with version {n}
, handle {bug} as well and explain the proof
, idempotent, resumable and observable
""",
    foreign="""
escribe una función en {language} que ordene fechas
¿por qué falla este código? {+code}
schreib ein {language}-Skript, das Dateien umbenennt
warum stürzt das ab? {+stack}
écris une fonction {language} qui compte les mots
pourquoi ce code plante ? {+code}
escreve um script em {language} que valide emails
porque é que isto falha? {+stack}
这段代码为什么报错? {+code}
""",
)

IMAGE_QUESTION = Family(
    templates="""
what [is|do you see] in this {picture}[?|]
what does this {picture} [of {depicted}|] show[?|]
[read|transcribe] the [text|number|label] on {depicted}
is {depicted} in the {picture} [broken|ok|normal|safe][?|]
how many [people|parts|plants|screws] are in the [attached|] {picture}[?|]
[identify|name] {depicted} [from the picture|in the pic|]
{picture} of {depicted} attached, what's wrong [with it|here][?|]
[look at|see] {depicted}, [what now|which part is it|can I fix it][?|]
which {product} is this[?|] [see {picture}|[attached]|]
what colour is {depicted}[?|]
does this look [right|straight|ripe|mouldy] to you[?|]
describe the {picture} for [{persona}|a blind reader]
[left|right|top] corner of the {picture}, what does it say[?|]
can you tell from the {picture} if {depicted} is [genuine|new|mine][?|]
here's a {picture} of {depicted}
[compare|spot the difference between] these two {picture}s of {depicted}
what's the value on {depicted} in the {picture}
is this the {product} I ordered? [{picture} below|see {picture}]
which plug is shown [here|there]
[caption|alt text] for the attached {picture} of {depicted}
the [cable|light|leaf] in the {picture}, is that how it should look[?|]
what is this {product} [called|for][?|]
{depicted}
my {product} looks like this, {feeling}
list the {field} on {depicted}
[what is|where is] this?
""",
    demands="""
, and estimate the size from the ruler beside it
, including what is half hidden behind {depicted}
, compared with the diagram on page {n}
, even though it is blurred and taken at night
, and read the small print in the corner
, then explain which part has to be replaced first
""",
    foreign="""
¿qué se ve en esta [foto|imagen]?
¿qué pone en la etiqueta de la foto?
was [siehst du|ist] auf diesem [Bild|Foto][?|]
lies den Zählerstand auf dem Foto
que vois-tu sur cette [photo|image] ?
lis l'étiquette sur la photo
o que aparece nesta [foto|imagem]?
这张图片里是什么?
""",
)
