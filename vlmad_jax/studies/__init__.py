"""The tables and figures of a published comparison of WinCLIP and AnomalyCLIP, on any data set.

Kakda et al., "Analyzing VLM-Based Approaches for Anomaly Classification and Segmentation", arXiv 2601.13440.
The studies reproduce its six tables and three figures, and add what its abstract announces but its tables
omit. `report.STUDIES` lists them. A study reads stored runs, which a `runner.Runner` executes once. All runs
share the embeddings of the images (`embeddings`).
"""
