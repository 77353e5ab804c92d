"""A graph goes in: node types, subgraphs, and how features become HeteroData."""
