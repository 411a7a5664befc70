"""Programs that jaxrec is compared with, each run by an interpreter of its own and importing nothing of jaxrec."""
