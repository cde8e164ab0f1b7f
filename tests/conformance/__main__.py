"""`python -m tests.conformance`: every public vector family, a table, one JSON line.

A deviation is shown with its reason. An unexplained one, a stale reason or an absent family makes
the exit status non-zero: a suite that did not run has not passed.
"""

import sys

from tests.bench.report import report
from tests.conformance import c2sp, jws, status_list, suites, vectors
from tests.conformance.suites import Result

# The floors above the log keep their suites in modules of their own.
SUITES = [*suites.SUITES, *c2sp.SUITES, jws.SUITE, jws.SPELLING, status_list.SUITE]


def run_all() -> list[Result]:
    """Run every suite; an absent family is a Result that failed."""
    results: list[Result] = []
    for path, suite in SUITES:
        absent = vectors.missing(path)
        results.append(Result(path, 0, 0, failures=(absent,)) if absent else suite())
    return results


def main() -> int:
    """Print each family, its deviations by reason and its failures."""
    results = run_all()
    for result in results:
        explained = result.passed + len(result.deviations)
        sys.stdout.write(f"{result.name}: {explained} of {result.total} judged")
        sys.stdout.write(f", {result.passed} as the vector says\n")
        for case, why in result.adapted.items():
            sys.stdout.write(f"    adapted ({case}): {why}\n")
        for reason in sorted(set(result.deviations.values())):
            cases = [case for case, why in result.deviations.items() if why == reason]
            sys.stdout.write(f"    deviates in {len(cases)} ({cases[0]} ...): {reason}\n")
        for failure in result.failures:
            sys.stdout.write(f"    FAILED {failure}\n")
    figures = {
        result.name: {
            "passed": result.passed,
            "total": result.total,
            "deviations": len(result.deviations),
        }
        for result in results
    }
    unexplained = sum(len(result.failures) for result in results)
    bars = {"unexplained": {"value": unexplained, "bar": 0, "ok": unexplained == 0}}
    return report("conformance", figures, bars)


if __name__ == "__main__":
    sys.exit(main())
