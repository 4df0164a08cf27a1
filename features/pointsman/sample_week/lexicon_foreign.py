"""Vocabulary of the sample week in other languages."""

from __future__ import annotations

FOREIGN: dict[str, str] = {
    "es_cosa": """
la factura
mi pedido
la política de devoluciones
el código de conducta
la tarjeta
el termostato
la garantía
el horario
la galería de imágenes
el contrato
la batería
el envío
la contraseña
el resumen anual
""",
    "de_ding": """
die Rechnung
meine Bestellung
das Rückgabeformular
der Verhaltenskodex
die Wärmepumpe
die Garantie
der Zählerstand
die Öffnungszeiten
der Vertrag
das Passwort
die Lieferung
der Gutscheincode
die Bildergalerie
der Jahresbericht
""",
    "fr_chose": """
la facture
ma commande
le code de conduite
la garantie
le thermostat
les horaires
la galerie d'images
le contrat
le mot de passe
la livraison
le résumé annuel
la carte cadeau
l'abonnement
le relevé
""",
    "pt_coisa": """
a fatura
o meu pedido
a política de devolução
o código de conduta
a garantia
o horário
o contrato
a palavra-passe
a entrega
o cartão
o resumo anual
a bateria
""",
    "es_tema": """
la lluvia
los precios de la energía
el reciclaje
los trenes nocturnos
el mar
la calefacción
las mareas
""",
    "de_thema": """
den Regen
Strompreise
Nachtzüge
Mülltrennung
das Meer
Dämmung
die Gezeiten
""",
    "fr_sujet": """
la pluie
les prix de l'énergie
les trains de nuit
le recyclage
la mer
l'isolation
les marées
""",
    "pt_tema": """
a chuva
os preços da energia
os comboios noturnos
a reciclagem
o mar
as marés
""",
}
