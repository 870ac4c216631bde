"""Local HTTP services that speak a provider's API, for rehearsals and tests without an account.

What every vendor's service needs is here; what is a vendor's own is in its folder: its protocol, its documents, its
devices, its prices. Whatever a service is told is on disk before the reply and survives a kill; its devices have a
queue and a bill, and misbehave on demand.

```
launcher ── vendor ── server ── app ──┬── jobs ── physics     queue, devices, bill; what circuits give
                                      ├── faults              what goes wrong on purpose
                                      ├── page.html           what people see at /
                                      └── disk                what survives
candidate: the service as a driver's conformance is judged against it
braket, ionq: the vendors
```

A service answers at a loopback address alone. It is not the provider: what only the real service can tell stays unknown
here, and where the documentation is silent the service is strict.
"""
