"""The tables and figures of a published comparison of WinCLIP and AnomalyCLIP, of any two methods and data.

Kakda et al., "Analyzing VLM-Based Approaches for Anomaly Classification and Segmentation", arXiv 2601.13440.
The studies reproduce its six tables and three figures, and add what its abstract announces but its tables
omit. `report.STUDIES` lists them. A study reads the stored runs of the two compared methods (`compared`,
`method_runs`), which a `runner.Runner` executes once. WinCLIP runs on stored embeddings (`winclip_runs`,
`embeddings`), all others on images.
"""
