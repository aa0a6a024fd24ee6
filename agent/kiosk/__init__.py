"""The page that the person looks at, and the operator's page: served on loopback, shown full-screen on the terminal."""

from agent.kiosk.join import JoinCode, device_join_code
from agent.kiosk.operator import OperatorView
from agent.kiosk.server import KioskServer

__all__ = ["JoinCode", "KioskServer", "OperatorView", "device_join_code"]
