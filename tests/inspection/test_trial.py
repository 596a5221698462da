"""The table of false alarms and misses at both thresholds."""

from vlmad_jax.inspection.trial import Trial, table


def trial(category: str, seed: int, alarms: tuple[float, float], misses: tuple[float, float]) -> Trial:
    both = ("own", "augmented")
    rates = [dict(zip(both, x, strict=True)) for x in ((1.0, 2.0), alarms, misses)]
    return Trial(category, 16, seed, 1 / 17, 20, 40, *rates)


def test_a_row_a_category_and_the_means() -> None:
    done = [
        trial("cup", 0, (0.1, 0.0), (0.2, 0.4)),
        trial("cup", 1, (0.3, 0.0), (0.2, 0.6)),
        trial("lid", 0, (0.0, 0.0), (1.0, 1.0)),
        trial("lid", 1, (0.0, 0.0), (1.0, 1.0)),
    ]
    heading, _, *rows = [
        [x.strip() for x in line.split("|")[1:-1]] for line in table(done, 0.01).splitlines()
    ]
    assert heading[-4:] == [
        "false alarms, own",
        "false alarms, augmented",
        "misses, own",
        "misses, augmented",
    ]
    cup = ["20.0% (10.0%, 30.0%)", "0.0% (0.0%, 0.0%)", "20.0% (20.0%, 20.0%)", "50.0% (40.0%, 60.0%)"]
    assert rows[0] == ["cup", "16", "1%", "5.9%", *cup]
    assert rows[2] == ["mean", "16", "1%", "5.9%", "10.0%", "0.0%", "60.0%", "75.0%"]
