"""The graph of a video: node types, subgraphs, relations and the names of what they carry.

A video is one ``HeteroData``: ``audio`` and ``visual`` nodes are its seconds and carry features,
``text`` nodes carry only their number, because the label text is the same for every video and belongs to
the model. A relation is (source, subgraph, target): the audio-visual subgraph has four of them.
"""

from __future__ import annotations

from typing import Final

AUDIO: Final = "audio"
VISUAL: Final = "visual"
TEXT: Final = "text"
NODE_TYPES: Final = (AUDIO, VISUAL, TEXT)

#: Subgraph -> its two node types, in the order in which Eq. 7 stacks them along the node axis.
SUBGRAPHS: Final = {"av": (AUDIO, VISUAL), "vt": (VISUAL, TEXT), "at": (AUDIO, TEXT)}


def relations(subgraph: str) -> tuple[tuple[str, str, str], ...]:
    """The four (source, subgraph, target) edge types of a complete subgraph, sources innermost."""
    members = SUBGRAPHS[subgraph]
    return tuple((source, subgraph, target) for target in members for source in members)


#: The twelve edge types of the three subgraphs.
RELATIONS: Final = tuple(relation for subgraph in SUBGRAPHS for relation in relations(subgraph))

#: Category of a video without an event.
NO_EVENT: Final = -1

#: Names of the attributes of a video's HeteroData, apart from its nodes.
CATEGORY: Final = "category"  #: [1] class of the video's event; NO_EVENT if it has none
RELEVANCE: Final = "relevance"  #: [1, T] 1 where the event is both heard and seen
EVENTS: Final = "events"  #: [1, K, 3] class, start and end (s) of several events; class -1 is padding (kind ``dense``)
PASTED: Final = "pasted"  #: [1, T] 1 where augmentation pasted another class over one modality; batches in training
ROW: Final = "row"  #: [1] row in the annotation file
