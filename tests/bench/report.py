"""What every bench prints: a table for people, then one JSON object as the last line."""

import json
import os
import platform
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

QUICK = os.environ.get("QUICK", "") not in {"", "0"}


def machine() -> dict[str, Any]:
    """What the figures were measured on, and how busy it was."""
    cpuinfo = Path("/proc/cpuinfo")
    models = [
        line.partition(":")[2].strip()
        for line in (cpuinfo.read_text().splitlines() if cpuinfo.is_file() else [])
        if line.startswith("model name")
    ]
    return {
        "cpu": models[0] if models else platform.processor(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "quick": QUICK,
    }


def at_least(value: float, bar: float) -> dict[str, Any]:
    """A bar that the value must reach."""
    return {"value": round(value, 3), "bar": bar, "ok": bool(value >= bar)}


def at_most(value: float, bar: float) -> dict[str, Any]:
    """A bar that the value must not pass."""
    return {"value": round(value, 3), "bar": bar, "ok": bool(value <= bar)}


def say(line: str) -> None:
    """Show progress of a long run at once."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def report(name: str, figures: Mapping[str, Any], bars: Mapping[str, Mapping[str, Any]]) -> int:
    """Print the table and the JSON line; return the exit status, 1 if a bar falls short."""
    width = max((len(key) for key in (*figures, *bars)), default=0)
    lines = [f"{key:<{width}}  {_shown(value)}" for key, value in figures.items()]
    lines += [
        f"{key:<{width}}  {_shown(bar['value'])}  bar {_shown(bar['bar'])}"
        f"  {'ok' if bar['ok'] else 'FALLS SHORT'}"
        for key, bar in bars.items()
    ]
    result = {"bench": name, "machine": machine(), "figures": dict(figures), "bars": dict(bars)}
    sys.stdout.write("\n".join([*lines, json.dumps(result, ensure_ascii=False)]) + "\n")
    sys.stdout.flush()
    return 0 if all(bar["ok"] for bar in bars.values()) else 1


def _shown(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.3f}" if abs(value) < 100 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
