"""Checks for gradients and for functions: those of minicnn, and a reader's own."""

from minicnn.checks.check import Report, check
from minicnn.checks.gradcheck import GradcheckError, GradcheckReport, gradcheck

__all__ = ["GradcheckError", "GradcheckReport", "Report", "check", "gradcheck"]
