"""What several widgets use: the JavaScript and style of all of them, and the connection to the browser."""
