"""A local page on which people look at what a detector says of images, and put it right.

session     the images and what is said of them
refit       a detector made anew with images that people marked
guard       who may ask, and how much
app         the requests that are answered, and the server on 127.0.0.1
templates   what the browser is given; it fetches nothing from elsewhere
"""
