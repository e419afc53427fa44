"""The price of a GPU hour, from the settings, for routes and pages."""

from starlette.requests import Request

from agent.settings import PriceSettings, Settings


def prices_of(request: Request) -> tuple[float, str]:
    """Price of one GPU hour (0.0: none is set) and the currency."""
    settings = request.app.state.settings
    prices = settings.prices if isinstance(settings, Settings) else PriceSettings()
    return prices.gpu_hour, prices.currency
