"""Ref-EndoVis18: sentences about the instruments and tissues of EndoVis 2018."""
