"""Least squares by the normal equations, with no coefficient below zero."""


def least_squares(rows: list[list[float]], wanted: list[float]) -> list[float]:
    """Of relative errors, by the normal equations. No coefficient is below zero: that part is left
    out, and the others fitted again."""
    weights = [1 / max(1.0, value) for value in wanted]
    kept = list(range(len(rows[0])))
    while kept:
        scaled = [
            [row[k] * weight for k in kept] for row, weight in zip(rows, weights, strict=True)
        ]
        aims = [value * weight for value, weight in zip(wanted, weights, strict=True)]
        square = [
            [sum(row[i] * row[j] for row in scaled) for j in range(len(kept))]
            for i in range(len(kept))
        ]
        right = [
            sum(row[i] * aim for row, aim in zip(scaled, aims, strict=True))
            for i in range(len(kept))
        ]
        found = solved(square, right)
        if min(found) >= 0:
            return [found[kept.index(k)] if k in kept else 0.0 for k in range(len(rows[0]))]
        del kept[found.index(min(found))]
    return [0.0] * len(rows[0])


def solved(square: list[list[float]], right: list[float]) -> list[float]:
    """Gauss, with the largest pivot; an unknown that nothing determines is 0."""
    table = [[*row, value] for row, value in zip(square, right, strict=True)]
    size, pivots = len(table), [True] * len(table)
    for column in range(size):
        best = max(range(column, size), key=lambda row: abs(table[row][column]))
        table[column], table[best] = table[best], table[column]
        if abs(table[column][column]) < 1e-12:
            pivots[column] = False
            continue
        for row in range(size):
            if row != column:
                factor = table[row][column] / table[column][column]
                table[row] = [
                    one - factor * other
                    for one, other in zip(table[row], table[column], strict=True)
                ]
    return [table[n][size] / table[n][n] if pivots[n] else 0.0 for n in range(size)]
