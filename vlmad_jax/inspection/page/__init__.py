"""A local page on which people review the decisions of a detector, correct them, and fit it again.

session     the images on the page and their predictions
refit       fits a detector with the images that people marked
review      the state and the actions of the page
guard       refuses requests from elsewhere, and those that are too large
app         the requests that are answered, and the server on 127.0.0.1
templates   the files for the browser, which fetches nothing from elsewhere
"""
