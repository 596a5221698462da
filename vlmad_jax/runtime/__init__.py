"""Services around the computation: files, run folders, caches, names, notices and traces."""
