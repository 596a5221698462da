"""A local page on which people look at what a detector says of pictures, and put it right.

session     the pictures and what is said of them
refit       a detector made anew with pictures that people marked
guard       who may ask, and how much
app         what can be asked
server      listening on 127.0.0.1
templates   what the browser is given; it fetches nothing from elsewhere
"""
