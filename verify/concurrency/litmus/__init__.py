"""Litmus tests of cross-modifying code: a writer and a reader of a few code bytes, and what the fetch axioms allow.

`fetch` is the model: every outcome that the axioms permit. `catalogue` has the tests, each with one outcome of interest
and its verdict. They are run on a processor elsewhere (`live`), from plain data; an outcome seen there that the model
does not permit is a defect of the model.
"""
