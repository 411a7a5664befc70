"""The step that writes profiles of users (jaxrec.data.profiles) into a folder."""
