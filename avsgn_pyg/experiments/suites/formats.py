"""The tables of a suite as Markdown, CSV and LaTeX."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from avsgn_pyg.common.files import write_text
from avsgn_pyg.common.text import csv_cell, markdown_table
from avsgn_pyg.experiments.suites.tables import Line, Table

#: Characters that are special to LaTeX, or that its fonts lack.
_LATEX: Final = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "±": r"$\pm$", "−": "$-$", "–": "--", "✓": r"$\checkmark$", "✗": r"$\times$", "×": r"$\times$", "→": r"$\to$",
    "τ": r"$\tau$", "λ": r"$\lambda$", "Ω": r"$\Omega$", "℧": r"$\mho$", "Φ": r"$\Phi$", "σ": r"$\sigma$",
    # After \\ a bracket would be its argument.
    "[": "{[}", "]": "{]}",
}
_LATEX_TABLE: Final = r"""\begin{table*}
\centering\footnotesize
\setlength{\tabcolsep}{3pt}\setlength{\belowcaptionskip}{4pt}
\caption{<title>.}
\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%
\begin{tabular}{<columns>}
\toprule
<headings> \\
\midrule
<lines>
\bottomrule
\end{tabular}}
\\[2pt]
\parbox{\linewidth}{\footnotesize
<notes>
}
\end{table*}
"""


def write_tables(tables: Sequence[Table], out: Path, name: str) -> tuple[Path, ...]:
    """Write ``<name>.md``, ``.csv``, ``.tex``, ``.runs.csv`` and ``.videos.csv`` into `out`, replacing older ones."""
    texts = {"md": markdown(tables), "csv": csv_text([record for table in tables for record in table.records]),
             "tex": latex(tables), "runs.csv": csv_text([run for table in tables for run in table.runs]),
             "videos.csv": csv_text([run for table in tables for run in table.videos])}
    for suffix, text in texts.items():
        write_text(out / f"{name}.{suffix}", text)
    return tuple(out / f"{name}.{suffix}" for suffix in texts)


def markdown(tables: Sequence[Table]) -> str:
    """Every table with its notes; columns are aligned for a terminal."""
    return "\n".join(_markdown(table) for table in tables)


def csv_text(records: Sequence[Mapping[str, Any]]) -> str:
    """A line for each record, numbers unrounded; a value that is missing, None or ``nan`` is an empty field."""
    names = list(dict.fromkeys(name for record in records for name in record))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    for record in records:
        writer.writerow({name: csv_cell(value) for name, value in record.items()
                         if not (isinstance(value, float) and math.isnan(value))})
    return text.getvalue()


def latex(tables: Sequence[Table]) -> str:
    """A ``table*`` for each table, with booktabs' rules, never wider than the text; notes below in small print."""
    return "% needs \\usepackage{booktabs,amssymb,graphicx}\n" + "\n".join(_latex(table) for table in tables)


def escape(text: str) -> str:
    """`text` as LaTeX source."""
    return "".join(_LATEX.get(letter, letter) for letter in text)


def _markdown(table: Table) -> str:
    rows = [(_marked(line.label, line, "<sup>{}</sup>"), *line.cells) for group in table.groups for line in group]
    body = markdown_table((table.headings, *rows))
    footnotes = [f"{number}. {text}" for number, text in enumerate(table.footnotes, 1)]
    parts = [[f"## {table.title}"], body, footnotes, [f"- {text}" for text in table.notes]]
    return "\n\n".join("\n".join(part) for part in parts if part) + "\n"


def _latex(table: Table) -> str:
    mark = "\\textsuperscript{{{}}}"
    groups = [[" & ".join((_marked(escape(line.label), line, mark), *map(escape, line.cells))) + r" \\"
               for line in group] for group in table.groups]
    notes = [f"{mark.format(number)} {escape(text)}" for number, text in enumerate(table.footnotes, 1)]
    parts = {
        "title": escape(table.title), "columns": "l" + "c" * (len(table.headings) - 1),
        "headings": " & ".join(map(_stack, table.headings)),
        "lines": "\n\\midrule\n".join("\n".join(group) for group in groups),
        "notes": "\\\\\n".join((*notes, *map(escape, table.notes))),
    }
    text = _LATEX_TABLE
    for name, part in parts.items():  # escaped text has no angle brackets
        text = text.replace(f"<{name}>", part)
    return text


def _stack(heading: str) -> str:
    """A heading on two lines, broken at the space nearest to its middle."""
    spaces = [place for place, letter in enumerate(heading) if letter == " "]
    if not spaces:
        return escape(heading)
    place = min(spaces, key=lambda place: abs(2 * place + 1 - len(heading)))
    return f"\\shortstack{{{escape(heading[:place])}\\strut\\\\{escape(heading[place + 1:])}\\strut}}"


def _marked(label: str, line: Line, form: str) -> str:
    return label + (form.format(",".join(map(str, line.marks))) if line.marks else "")
