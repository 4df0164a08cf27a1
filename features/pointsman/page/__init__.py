"""What pages share: the style, the parts and the numbers of self-contained HTML reports."""
