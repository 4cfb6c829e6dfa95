"""A broken promise, in words. Every checker raises this and nothing else."""

from __future__ import annotations


class Violation(AssertionError):
    """A promise was broken. `rule` names it: I1 to I24, or a word of Jepsen's."""

    def __init__(self, rule: str, text: str) -> None:
        super().__init__(f"{rule}: {text}")
        self.rule = rule
        self.text = text

    def __reduce__(self) -> tuple[type[Violation], tuple[str, str]]:
        """Violations travel from the processes of `simulate --jobs` to the one that prints them."""
        return Violation, (self.rule, self.text)
