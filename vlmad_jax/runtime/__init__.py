"""What runs need around the computation: files, folders, caches, names, notices."""
