"""Code shared by several widgets: JavaScript, styles and the connection to the browser."""
