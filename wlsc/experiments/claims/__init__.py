"""The paper's claims as functions of measured conditions: the questions, and the answers that the numbers give."""
