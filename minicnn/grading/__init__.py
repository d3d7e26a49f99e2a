"""Marks the exercises of a class: `minicnn grade FOLDER`.

A submission is a notebook of the course with the student's code in it. Its imports, functions and
constants are run in a process of their own, which may not touch files, other processes or the
network, and has limits of time and memory (`worker`). The marking happens outside of it: `check`
draws the cases here, sends their arguments over, and judges what comes back (`remote`). So whatever
a notebook does, it cannot mark itself, and the others are marked all the same.
"""

from minicnn.grading.marks import Mark, Submission, grade, grade_notebook

__all__ = ["Mark", "Submission", "grade", "grade_notebook"]
