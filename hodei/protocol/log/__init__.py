"""How both programs write their logs: one writer of lines, whoever has something to say.

Ours comes through loguru, as does what libraries, warnings and the interpreter say (`others`). A
line is text for people and for grep, or a JSON object; never a raw line of somebody else, and never
what PostgreSQL quotes of rows (`errors`).
"""
