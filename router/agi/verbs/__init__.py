"""The AGI verbs, one module each: what may stand behind agi://HOST/."""
