"""Checks for gradients and for functions: those of minicnn, and a reader's own."""

from minicnn.checks.gradcheck import GradcheckError, GradcheckReport, gradcheck

__all__ = ["GradcheckError", "GradcheckReport", "gradcheck"]
