"""The kernel's own log: Xids, out-of-memory kills, hung tasks."""

from collectors.kernel_log.kmsg_device import KmsgDevice, KmsgPosition
from collectors.kernel_log.parser import KernelLogParser
from collectors.kernel_log.xid_catalogue import XID_CATALOGUE, Xid, XidDomain

__all__ = ["XID_CATALOGUE", "KernelLogParser", "KmsgDevice", "KmsgPosition", "Xid", "XidDomain"]
