"""A suite's tables as Markdown, CSV and LaTeX."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from avsgn_pyg.engine.checkpoint import replace_text
from avsgn_pyg.experiments.suites.tables import Line, Table

#: Letters that LaTeX reads otherwise, or that its fonts lack.
_LATEX: Final = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "±": r"$\pm$", "−": "$-$", "–": "--", "✓": r"$\checkmark$", "✗": r"$\times$", "×": r"$\times$", "→": r"$\to$",
    "τ": r"$\tau$", "λ": r"$\lambda$", "Ω": r"$\Omega$", "℧": r"$\mho$", "Φ": r"$\Phi$", "σ": r"$\sigma$",
    # After \\ a bracket would be its argument.
    "[": "{[}", "]": "{]}",
}


def write_tables(tables: Sequence[Table], out: Path, name: str) -> tuple[Path, ...]:
    """Write ``<name>.md``, ``.csv``, ``.tex`` and, run by run, ``.runs.csv`` and ``.videos.csv`` into `out`.

    Older ones are replaced.
    """
    out.mkdir(parents=True, exist_ok=True)
    texts = {"md": markdown(tables), "csv": csv_text([record for table in tables for record in table.records]),
             "tex": latex(tables), "runs.csv": csv_text([run for table in tables for run in table.runs]),
             "videos.csv": csv_text([run for table in tables for run in table.videos])}
    for suffix, text in texts.items():
        replace_text(out / f"{name}.{suffix}", text)
    return tuple(out / f"{name}.{suffix}" for suffix in texts)


def markdown(tables: Sequence[Table]) -> str:
    """Every table with its notes; columns are aligned, so that a terminal shows them too."""
    return "\n".join(_markdown(table) for table in tables)


def csv_text(records: Sequence[Mapping[str, Any]]) -> str:
    """A line each, numbers unrounded; an empty field is something that a record does not have."""
    names = list(dict.fromkeys(name for record in records for name in record))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    for record in records:
        writer.writerow({name: _plain(value) for name, value in record.items()})
    return text.getvalue()


def latex(tables: Sequence[Table]) -> str:
    """A ``table*`` each, with booktabs' rules, never wider than the text; notes below in small print."""
    head = "% needs \\usepackage{booktabs,amssymb,graphicx}\n"
    return head + "\n".join(_latex(table) for table in tables)


def escape(text: str) -> str:
    """`text` as LaTeX writes it."""
    return "".join(_LATEX.get(letter, letter) for letter in text)


def _markdown(table: Table) -> str:
    rows = [(_marked(line, "<sup>{}</sup>"), *line.cells) for group in table.groups for line in group]
    lines = [[cell.replace("|", "\\|") for cell in row] for row in (table.headings, *rows)]
    widths = [max(3, *(len(line[place]) for line in lines)) for place in range(len(table.headings))]
    body = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |"
            for line in lines]
    body.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    footnotes = [f"{number}. {text}" for number, text in enumerate(table.footnotes, 1)]
    notes = [f"- {text}" for text in table.notes]
    parts = [[f"## {table.title}"], body, footnotes, notes]
    return "\n\n".join("\n".join(part) for part in parts if part) + "\n"


def _latex(table: Table) -> str:
    groups = [[" & ".join((_marked(line, "\\textsuperscript{{{}}}", escape), *map(escape, line.cells))) + r" \\"
               for line in group] for group in table.groups]
    rules = "\n\\midrule\n".join("\n".join(group) for group in groups)
    head = " & ".join(map(_stacked, table.headings)) + r" \\"
    notes = [f"\\textsuperscript{{{number}}} {escape(text)}" for number, text in enumerate(table.footnotes, 1)]
    notes += map(escape, table.notes)
    return "\n".join((
        "\\begin{table*}", "\\centering\\footnotesize",
        "\\setlength{\\tabcolsep}{3pt}\\setlength{\\belowcaptionskip}{4pt}", f"\\caption{{{escape(table.title)}.}}",
        "\\resizebox{\\ifdim\\width>\\linewidth\\linewidth\\else\\width\\fi}{!}{%",
        f"\\begin{{tabular}}{{l{'c' * (len(table.headings) - 1)}}}", "\\toprule", head, "\\midrule", rules,
        "\\bottomrule", "\\end{tabular}}", "\\\\[2pt]",
        "\\parbox{\\linewidth}{\\footnotesize", "\\\\\n".join(notes), "}", "\\end{table*}", "",
    ))


def _stacked(heading: str) -> str:
    """A heading on two lines, broken at the space nearest its middle."""
    spaces = [place for place, letter in enumerate(heading) if letter == " "]
    if not spaces:
        return escape(heading)
    place = min(spaces, key=lambda place: abs(2 * place + 1 - len(heading)))
    return f"\\shortstack{{{escape(heading[:place])}\\strut\\\\{escape(heading[place + 1:])}\\strut}}"


def _marked(line: Line, form: str, escaped: Any = str) -> str:
    marks = ",".join(map(str, line.marks))
    return escaped(line.label) + (form.format(marks) if marks else "")


def _plain(value: Any) -> Any:
    return "" if value is None or (isinstance(value, float) and math.isnan(value)) else value
