"""Where a call goes: pure rules, no IO, no clock. See ARCHITECTURE.md."""
