"""Both datacenters in one picture: watch -> board and history -> view (facts) -> findings (judgement) -> picture."""
