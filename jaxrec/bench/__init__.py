"""Side-by-side measurements: `python -m jaxrec.bench list | run NAME... | compare A.json B.json`.

How to add a workload is said in `jaxrec.bench.registry`.
"""
