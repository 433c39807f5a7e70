"""Fetches commands for this board: `Mailbox(board, run).check()` in a loop. `run(name, data)` does the work and returns the result.

Replies are not authentic: somebody on the network can make up a command. Let `run` do nothing that must not be done for strangers.
"""


class Mailbox:
    def __init__(self, board, run, path="last-command"):
        self.board, self.run, self.path = board, run, path
        self.answer = {}
        try:
            with open(path) as file:
                self.last = file.read()
        except OSError:
            self.last = ""

    def check(self, wait=8):
        """Acknowledges the last command, and waits up to 8 s for the next one. OSError if no answer comes: try again."""
        self.accept(self.board.send({"action": "inbox", "data": dict(self.answer, wait=wait)}))

    def accept(self, command):
        """Also for the command in the reply to a report. One that comes again has run: its acknowledgement was lost or is to come."""
        if not isinstance(command, dict) or command.get("id") in (None, self.answer.get("done")):
            return
        if command["id"] == self.last:
            self.answer = {"done": self.last}
            return
        with open(self.path, "w") as file:  # before it runs: a reset in between must not run it twice
            file.write(command["id"])
        self.last = command["id"]
        try:
            self.answer = {"done": self.last, "result": self.run(command["name"], command["data"])}
        except Exception as error:  # the page shows it; the next command is another matter
            self.answer = {"done": self.last, "result": {"error": repr(error)}}
