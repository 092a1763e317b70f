"""A kubeconfig's context: where its API server is, and how its user is told there."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from typing import Any

import urllib3
from kubernetes import config
from kubernetes.client import Configuration
from kubernetes.config.config_exception import ConfigException
from requests.utils import should_bypass_proxies


class UnusableKubeconfig(Exception):
    """A kubeconfig or a context of it cannot be used; the message says which and why."""


@dataclass(frozen=True)
class Upstream:
    """An API server as a kubeconfig's user reaches it: `url` is without a slash at its end."""

    url: str
    tls: ssl.SSLContext
    server_name: str | None
    proxy: str | None
    _configuration: Configuration

    @classmethod
    def load(cls, kubeconfig: str, context: str) -> Upstream:
        """Read a context: client certificate, token or exec plugin, as kubectl does.

        Raises
        ------
        UnusableKubeconfig
        """
        configuration = Configuration()
        try:
            config.load_kube_config(kubeconfig, context, configuration, persist_config=False)
            tls = _tls(configuration)
        except (ConfigException, OSError) as error:
            raise UnusableKubeconfig(f"The context {context} of {kubeconfig} cannot be used: {error}") from error
        no_proxy = configuration.no_proxy or ""
        is_direct = not configuration.proxy or should_bypass_proxies(configuration.host, no_proxy=no_proxy)
        return cls(
            configuration.host.rstrip("/"),
            tls,
            configuration.tls_server_name,
            None if is_direct else configuration.proxy,
            configuration,
        )

    def authorization(self) -> str | None:
        """The Authorization header, None where a client certificate says it all. May run an exec plugin again."""
        token = self._configuration.auth_settings().get("BearerToken")
        return str(token["value"]) if token else None

    def pool(self) -> urllib3.PoolManager:
        """Connections to the API server."""
        options: dict[str, Any] = {"ssl_context": self.tls, "retries": False, "timeout": 30}
        if self.server_name:
            options |= {"server_hostname": self.server_name, "assert_hostname": self.server_name}
        return urllib3.ProxyManager(self.proxy, **options) if self.proxy else urllib3.PoolManager(**options)


def _tls(configuration: Configuration) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=configuration.ssl_ca_cert)
    # On by default since Python 3.13, and refuses the authority of many a cluster, which has no Authority Key Identifier.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if not configuration.verify_ssl:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if configuration.cert_file:
        context.load_cert_chain(configuration.cert_file, configuration.key_file)
    return context
