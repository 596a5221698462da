"""The tables and figures of a published comparison of WinCLIP and AnomalyCLIP, on any data set.

Kakda et al., "Analyzing VLM-Based Approaches for Anomaly Classification and Segmentation", arXiv 2601.13440:
its six tables and three figures, and what its abstract announces and its tables leave out. One file a study;
`studies.STUDIES` lists them. A study is made of runs (`runs`), which share the embeddings of all images
(`embeddings`) and are kept, so that what was run once is never run again.
"""
