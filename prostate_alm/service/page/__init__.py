"""The page for the radiographer: a worklist, and one study with its answer, its evidence and its images.

It shows what a client of the API is shown (`JobRecord.shown`) and nothing of what was only recorded.
"""
