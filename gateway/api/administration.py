"""`/api/admin`: what is done to the gateway itself, by administrators."""

from litestar import Controller, Request, post
from litestar.datastructures import State
from litestar.status_codes import HTTP_200_OK

from gateway.api.access import Gateway, acting, admin
from gateway.api.answers.administration import ReloadAnswer
from gateway.renewal import unable


class Administration(Controller):
    """The gateway itself."""

    path = "/api/admin"
    guards = [admin]  # noqa: RUF012 - Litestar reads it from the class
    tags = ["Administration"]  # noqa: RUF012 - as above

    @post("/reload", summary="Read the settings again, and serve with them", status_code=HTTP_200_OK)
    async def reload(self, gateway: Gateway, request: Request[object, object, State]) -> ReloadAnswer:
        """Answered when every worker of this machine serves with them; no request is dropped meanwhile.

        422 with every problem when they are wrong, or nothing starts with them; 409 while another reload is under way.
        """
        if gateway.reload is None:
            raise unable()
        done = await gateway.reload(acting(request, "settings.reload"))
        return ReloadAnswer(changed=done.changed, restart=done.restart)
