"""The registry's pages: parse, access, one service, render. No rule is decided here."""
