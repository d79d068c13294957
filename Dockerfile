FROM python:3.12-slim

RUN apt-get update \
 && apt-get install -y --no-install-recommends fonts-dejavu-core \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --create-home --uid 10001 vizkit
WORKDIR /app

# The dependencies change rarely and are large: a layer of their own. The headless OpenCV wheel goes last (no libGL here).
COPY requirements.txt .
RUN pip install --no-cache-dir -r requirements.txt \
 && pip install --no-cache-dir --force-reinstall --no-deps "$(grep '^opencv-python-headless==' requirements.txt)" \
 && python -c "import cv2; cv2.resize"

COPY pyproject.toml README.md LICENSE ./
COPY .streamlit .streamlit
COPY checkpoints checkpoints
COPY pages pages
COPY vizkit vizkit
COPY app.py .
RUN pip install --no-cache-dir --no-deps --editable .

USER vizkit
ENV OMP_WAIT_POLICY=PASSIVE PYTHONUNBUFFERED=1
EXPOSE 8501
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s \
  CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8501/_stcore/health', timeout=4)"]

# Inside a container the app has to listen beyond the loopback; publish the port to this machine only:
#   docker run --rm -p 127.0.0.1:8501:8501 vizkit
CMD ["python", "-m", "streamlit", "run", "app.py", "--server.address", "0.0.0.0", "--server.port", "8501", "--server.headless", "true"]
