"""Who may do what: users, rules, tokens, certificates. Decisions are pure; HTTP and files are elsewhere."""
