"""Cards to begin with: what a person may write around what is measured."""

TASKS = """# {name}

<!-- model -->
<!-- /model -->

## Results

On held-out cases. "one shot" takes the canvas after a single step, "left to right" runs the same
weights token by token.

<!-- numbers -->
<!-- /numbers -->

## Calibration

<!-- calibration -->
<!-- /calibration -->

## Training

<!-- training -->
<!-- /training -->

## Generations

<!-- generations -->
<!-- /generations -->

## Again

<!-- reproduce -->
<!-- /reproduce -->
"""

SUDOKU = """# {name}: a Sudoku model

It solves 9 x 9 Sudokus and knows nothing else. Asked are 81 digits with a space between, 0 for a
blank; the answer is the solution in the same form, on one canvas.

<!-- model -->
<!-- /model -->

## Results

Puzzles have one solution, and no symmetric form of their grids was trained on. Clues stand in the
prompt only, or are pinned on the canvas, too, or stand there alone.

<!-- numbers -->
<!-- /numbers -->

![Score against steps](../../../docs/pictures/steps-{name}.svg)

## Ways to ask

<!-- ablations -->
<!-- /ablations -->

## Hard lists

<!-- hard -->
<!-- /hard -->

## Limits

Grids of 9 x 9 only. A puzzle with several solutions gets one of them or none. What it is not sure
of it writes all the same, so check an answer against the clues. Puzzles below 20 clues are rare in
what it learnt.

## Training

<!-- training -->
<!-- /training -->

## Generations

Of earlier weights, too, with the clues where they stand best.

<!-- generations -->
<!-- /generations -->

## Again

<!-- reproduce -->
<!-- /reproduce -->
"""

BLANKS = {"tasks": TASKS, "sudoku": SUDOKU}
