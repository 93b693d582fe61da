from spindle.contracts import Algorithm, hookimpl


class Sick(Algorithm):
    """Fails when it looks at a file."""

    @hookimpl
    def understand(self, path, head):
        return head[70_000] == 1

    @hookimpl
    def open_image(self, path):
        return None


class Dumb(Sick):
    """Answers neither yes nor no."""

    @hookimpl
    def understand(self, path, head):
        pass


class Rival(Sick):
    """Also a variant of CBF."""

    specialises = "cbf"

    @hookimpl
    def understand(self, path, head):
        return path.name.startswith("variant_three_")
