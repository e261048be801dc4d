"""A picture per table: bars, or lines over time."""

from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt

from benchmarks.tables import Table, shown


def draw(table: Table, path: Path) -> Path:
    """Draw the table's column of bars, or its lines; returns the file."""
    height = 5.0 if table.lines else 1 + 0.45 * max(4, len(table.rows))
    figure, axes = plt.subplots(figsize=(9, height), dpi=110)
    if table.lines:
        for label, points in table.lines.items():
            axes.plot([x for x, _ in points], [y for _, y in points], label=label)
        axes.set_xlabel("minutes")
        axes.set_ylim(bottom=0)
        axes.legend()
    else:
        names = [str(row[0]) for row in table.rows]
        values = [float(row[table.bars]) for row in table.rows]
        colors = ["#1f6feb" if name.startswith("Redrive") else "#9aa4b2" for name in names]
        bars = axes.barh(names, values, color=colors)
        axes.bar_label(bars, [shown(value) for value in values], padding=3)
        axes.invert_yaxis()
        axes.margins(x=0.15)
        axes.set_xlabel(table.columns[table.bars])
    axes.set_title(table.title)
    figure.tight_layout()
    figure.savefig(path)
    plt.close(figure)
    return path
