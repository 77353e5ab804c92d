"""Node types, subgraphs and edges: features become HeteroData and batches."""
