"""A device as it is reached now: its backend is made anew when credentials expire, or what is known of it is old.

Why facts grow old: a run lasts days, and meanwhile the device is calibrated, gets another price, closes a window. Shots
are recorded with the facts under which they were sent, and the policy "reuse" takes only shots of today's calibration,
so what a run knows must be today's too.
"""

import logging
from collections.abc import Callable

from qcaan.errors import CredentialsError, DetachedError, TransientError
from qcaan.execution.backend import Backend, Simulator
from qcaan.execution.store import Store

_log = logging.getLogger("qcaan.execution")


class Access:
    """`backend` is replaced by `refresh()`, which makes it anew; without `refresh`, it stays what it is.

    Its facts are old after `facts_s` by the clock of `store`, which goes on while a laptop sleeps.
    """

    def __init__(
        self, backend: Backend, store: Store, facts_s: float, refresh: Callable[[], Backend] | None = None
    ) -> None:
        self.backend = backend
        self.renewals = 0
        self._store = store
        self._facts_s = facts_s
        self._refresh = refresh
        self._looked_at = store.clock()

    @property
    def remote(self) -> bool:
        """Whether calls leave this process: they have a rate, may be in the air together, and are landed."""
        return not isinstance(self.backend, Simulator)

    @property
    def renewable(self) -> bool:
        """Whether the backend can be made anew."""
        return self._refresh is not None

    def renew(self) -> None:
        """Make the backend anew.

        Raises:
            CredentialsError: it is another device, or another account's, which does not see the jobs of this one.
            QcaanError: it cannot be opened.
        """
        assert self._refresh is not None
        self.renewals += 1
        before = self.backend.target
        renewed = self._refresh()
        after = renewed.target
        if (before.name, before.device) != (after.name, after.device):
            raise CredentialsError(f"the renewed credentials lead to {after.device}, not {before.device}")
        if before.account != after.account:
            raise CredentialsError(f"the renewed credentials are of account {after.account!r}, not {before.account!r}")
        self.backend, self._looked_at = renewed, self._store.clock()

    def look_again(self, *, must: bool = False) -> None:
        """Make a remote backend anew if its facts are older than `Patience.facts_s`.

        Raises:
            DetachedError: the device does not answer, and old facts `must` not do; else they do a while longer.
            QcaanError: as `renew`.
        """
        age_s = self._store.clock() - self._looked_at
        if not self.renewable or not self.remote or 0 <= age_s <= self._facts_s:  # a clock that was set back tells none
            return
        device, before = self.backend.target.device, self.backend.target.calibration
        try:
            self.renew()
        except TransientError as error:
            if must:
                raise DetachedError(f"{device} does not tell its calibration: {error}; resume later", []) from error
            _log.warning("the facts of %s are %.0f s old and cannot be read again: %s", device, age_s, error)
            self._looked_at = self._store.clock()
            return
        if (now := self.backend.target.calibration) != before:
            _log.info("%s has a new calibration: %s", device, now)
