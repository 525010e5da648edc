"""A site whose chats are in a database of their own, and everything else with them."""


class Router:
    def db_for_read(self, *_, **__):
        return "chats"

    db_for_write = db_for_read
